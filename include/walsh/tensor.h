/* Tensors in device memory: float32, NHWC. */
#ifndef WALSH_TENSOR_H
#define WALSH_TENSOR_H

#include <walsh/device.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct walsh_tensor walsh_tensor;

/* A zeroed tensor of n x h x w x c floats; a matrix of r rows and c columns is (r, 1, 1, c).
 * Fails with WALSH_E_ARGUMENT for a size below 1, WALSH_E_MEMORY where the device's memory does not suffice.
 *
 * @code
 * walsh_device *device = NULL;
 * walsh_tensor *tensor = NULL;
 * float rows[2][3] = {{1, 2, 3}, {4, 5, 6}};
 * if (walsh_device_open(NULL, &device) == WALSH_OK && walsh_tensor_create(device, 2, 1, 1, 3, &tensor) == WALSH_OK) {
 *     walsh_tensor_upload(tensor, &rows[0][0]);
 *     walsh_tensor_download(tensor, &rows[0][0]);
 * }
 * walsh_tensor_destroy(&tensor);
 * walsh_device_close(&device);
 * @endcode
 */
WALSH_API walsh_status walsh_tensor_create(walsh_device *device, int n, int h, int w, int c, walsh_tensor **tensor);

/* Copies n*h*w*c floats, densely packed, from or to host memory; returns when the copy is done. Pad lanes
 * (channels come in fours on the device) become zero. Fails with WALSH_E_MEMORY, WALSH_E_OPENCL. */
WALSH_API walsh_status walsh_tensor_upload(walsh_tensor *tensor, const float *dense);
WALSH_API walsh_status walsh_tensor_download(const walsh_tensor *tensor, float *dense);

/* Frees the tensor and sets the pointer to NULL; NULL is accepted. */
WALSH_API void walsh_tensor_destroy(walsh_tensor **tensor);

#ifdef __cplusplus
}
#endif
#endif
