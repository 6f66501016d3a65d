"""Handing a model on: as an ONNX graph, as one page for a browser, proven on another machine, or taken over from elsewhere."""
