"""Model graphs: ONNX, Keras, TensorFlow and their kin, on a protocol buffer reader of our own."""
