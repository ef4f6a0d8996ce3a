/**
 * Version 2 of webrtc-direct for a library that dials version 1.
 *
 * The browser keeps its own credentials, and its password is told to the server in the server's ufrag.
 */

const PREFIX = "libp2p+webrtc+v2/";

export class UnmungedPeerConnection extends RTCPeerConnection {
  #offer;

  async createOffer(options) {
    const offer = await super.createOffer(options);
    this.#offer = { type: offer.type, sdp: offer.sdp };
    // A copy, because the library writes its own credentials into it.
    return { ...this.#offer };
  }

  async setLocalDescription() {
    await super.setLocalDescription(this.#offer);
  }

  async setRemoteDescription({ type, sdp }) {
    const credential = `${PREFIX}${this.#offer.sdp.match(/^a=ice-pwd:(\S+)/m)[1]}`;
    const unmunged = sdp
      .replace(/^a=ice-ufrag:.*$/m, `a=ice-ufrag:${credential}`)
      .replace(/^a=ice-pwd:.*$/m, `a=ice-pwd:${credential}`);
    await super.setRemoteDescription({ type, sdp: unmunged });
  }
}
