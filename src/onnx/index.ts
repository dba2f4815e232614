/** Models for other runtimes: ONNX. */
export { exportOnnx, type ExportOnnxOptions } from './export.js'
