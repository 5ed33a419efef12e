#include "engine/op/channels.h"

enum {
    GROUP_ITEMS = 128, /* work-items of a work-group on GPUs: as many as cl/channels.clh has room for */
    GROUP_VECTORS = 16,
    CPU_VECTORS = 2048, /* of a work-item on CPUs: a hundred times what it takes to start one */
    GPU_ROWS = 4
};

walsh_status walsh_channels_check(const char *op, int n, int h, int w, int c)
{
    if (n < 1 || h < 1 || w < 1 || c < 1)
        WALSH_FAIL(WALSH_E_ARGUMENT, "%s: every size must be at least 1, found %dx%dx%dx%d", op, n, h, w, c);
    if ((double)n * h * w > 1 << 30)
        WALSH_FAIL(WALSH_E_ARGUMENT, "%s: at most 2^30 rows are possible, found %dx%dx%d", op, n, h, w);
    return WALSH_OK;
}

static walsh_channels for_cpu(int padded)
{
    int vw = padded % 16 == 0 ? 16 : padded % 8 == 0 ? 8 : 4;
    const char *options =
        vw == 16 ? "-DPREFETCH=1 -DVW=16" : vw == 8 ? "-DPREFETCH=1 -DVW=8" : "-DPREFETCH=1 -DVW=4";
    int vectors = padded / vw, each = vectors < CPU_VECTORS ? CPU_VECTORS / vectors : 1;
    return (walsh_channels){.options = options, .vectors = vectors, .across = 1, .each = each, .local = {1, 1}};
}

static walsh_channels for_gpu(size_t max_group, int padded)
{
    size_t items = GROUP_ITEMS, width = 1;
    int quads = padded / 4;
    while (items > max_group) items /= 2;
    while (width < (size_t)quads && width < GROUP_VECTORS && width < items) width *= 2;
    return (walsh_channels){.options = "-DVW=4 -DGROUPED=1",
                            .vectors = quads,
                            .across = quads,
                            .each = GPU_ROWS,
                            .local = {width, items / width}};
}

walsh_channels walsh_channels_for(const walsh_device *device, int c)
{
    if (!walsh_tiles_are_gpu(device->tiles)) return for_cpu(walsh_pad(c));
    return for_gpu(device->info.max_group ? device->info.max_group : 1, walsh_pad(c));
}

static walsh_launch launch_of(const walsh_channels *channels, int across, size_t items)
{
    return (walsh_launch){.options = channels->options,
                          .global = {(size_t)across, items},
                          .local = {channels->local[0], channels->local[1]}};
}

walsh_launch walsh_channels_rows(const walsh_channels *channels, size_t rows)
{
    size_t each = (size_t)channels->each;
    return launch_of(channels, channels->across, (rows + each - 1) / each);
}

walsh_launch walsh_channels_groups(const walsh_channels *channels, size_t groups)
{
    return launch_of(channels, channels->vectors, groups * channels->local[1]);
}
