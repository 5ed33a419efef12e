#include "engine/op/rows.h"

walsh_launch walsh_rows_launch(const char *file, const char *function, int rows, walsh_rows_form form)
{
    walsh_launch launch = {.file = file, .function = function, .global = {1, (size_t)rows}, .local = {1, 8}};
    if (form == WALSH_ROWS_GROUP) {
        launch.options = "-DLANES=64";
        launch.global[0] = launch.local[0] = 64;
        launch.local[1] = 1;
    }
    return launch;
}

int walsh_rows_plain_suits(const walsh_device *device, const void *problem)
{
    (void)device, (void)problem;
    return 1;
}

int walsh_rows_group_suits(const walsh_device *device, const void *problem)
{
    (void)problem;
    return walsh_tiles_are_gpu(device->tiles) && device->info.max_group >= 64 ? 10 : 0;
}
