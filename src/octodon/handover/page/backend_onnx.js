// The network inside this page: onnxruntime-web on one thread, nothing is fetched. Gives {predict(codes, n)} -> columns.
const octodonBackend = (() => {
  // Bytes that are embedded as base64 of gzip.
  async function embedded(id) {
    if (typeof DecompressionStream === "undefined") {
      throw new Error("this browser cannot unpack the page (no DecompressionStream); use one of 2023 or newer");
    }
    const element = document.getElementById(id);
    const text = atob(element.textContent.trim());
    element.textContent = "";
    const bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }

  return {
    async open(card) {
      const code = await embedded("runtime-code");
      const address = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
      const ort = await import(address);
      URL.revokeObjectURL(address);
      ort.env.wasm.numThreads = 1;
      ort.env.wasm.proxy = false;
      ort.env.logLevel = "error";
      ort.env.wasm.wasmBinary = (await embedded("runtime-wasm")).buffer;
      const session = await ort.InferenceSession.create(await embedded("model"), { executionProviders: ["wasm"] });
      return {
        batch: 16,
        async predict(codes, n) {
          const input = new ort.Tensor("uint8", codes, [n, card.length]);
          const said = await session.run({ codes: input });
          const columns = {};
          for (const name of session.outputNames) columns[name] = said[name].data;
          return columns;
        },
      };
    },
  };
})();
