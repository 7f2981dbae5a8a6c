// A page opened from the file system may start no Worker. Run the worker's script in a hidden frame in its place, so
// that the search works there too. Material's `offline` plugin would fetch such a script from the network.
if (location.protocol === "file:") {
  window.IFrameWorker = window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      this.ready = new Promise((resolve) => {
        // Firefox replaces the empty document once, and says so with this event; Chromium fires it at once.
        this.frame.addEventListener("load", () => {
          const { contentWindow: scope, contentDocument: page } = this.frame;
          scope.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
          const script = page.createElement("script");
          script.src = url;
          script.onload = () => resolve(scope);
          page.body.append(script);
        }, { once: true });
      });
      document.body.append(this.frame);
    }
    postMessage(data) {
      this.ready.then((scope) => scope.dispatchEvent(new scope.MessageEvent("message", { data })));
    }
    terminate() {
      this.frame.remove();
    }
  };
}
