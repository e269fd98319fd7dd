// Pages that are opened from a disk may not start workers, and the search of the site runs in one. Here its script
// runs in a hidden frame instead. The name IFrameWorker tells the search where its own files are.
if (location.protocol === "file:") {
  window.IFrameWorker = window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      this.loaded = new Promise((resolve) => (this.frame.onload = resolve));
      this.frame.srcdoc = `<script>window.postMessage = (data) => frameElement.receive(data)</script><script src="${url}"></script>`;
      this.frame.receive = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
      document.body.append(this.frame);
    }
    postMessage(data) {
      this.loaded.then(() => this.frame.contentWindow.dispatchEvent(new MessageEvent("message", { data })));
    }
    terminate() {
      this.frame.remove();
    }
  };
}
