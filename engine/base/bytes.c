#include "engine/base/bytes.h"

#include <stdio.h>

walsh_bytes_text walsh_show_bytes(uint64_t bytes)
{
    walsh_bytes_text shown;
    const double kib = (double)bytes / 1024;
    if (kib < 1023.5)
        snprintf(shown.text, sizeof shown.text, "%.0f KiB", kib);
    else if (kib / 1024 < 1023.5)
        snprintf(shown.text, sizeof shown.text, "%.0f MiB", kib / 1024);
    else
        snprintf(shown.text, sizeof shown.text, "%.1f GiB", kib / (1024 * 1024));
    return shown;
}
