/* Walsh: a cross-vendor deep-learning training engine in C11 and OpenCL C. This header pulls in all the others. */
#ifndef WALSH_WALSH_H
#define WALSH_WALSH_H

#include <walsh/status.h>
#include <walsh/device.h>
#include <walsh/tensor.h>
#include <walsh/head.h>
#include <walsh/data.h>
#include <walsh/model.h>
#include <walsh/train.h>

#endif
