/** Waiting for events, and for the end of what makes them worth waiting for. */

/**
 * @param {EventTarget} target
 * @param {string} type
 * @param {AbortSignal} signal
 * @returns {Promise<Event>} rejected with the signal's reason when that comes first
 */
export function nextEvent(target, type, signal) {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) return abort();
    signal.addEventListener("abort", abort, { once: true });
    target.addEventListener(
      type,
      (event) => {
        signal.removeEventListener("abort", abort);
        resolve(event);
      },
      { once: true, signal },
    );
  });
}

/**
 * @param {AbortSignal} signal
 * @returns {Promise<never>} rejected with the signal's reason when it is aborted
 */
export function rejection(signal) {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}
