#include "apps/report.h"

#include "engine/base/status.h"

#include <stdio.h>

walsh_status walsh_report_json(cJSON *json)
{
    char *text = json ? cJSON_Print(json) : NULL;
    cJSON_Delete(json);
    if (!text) WALSH_FAIL(WALSH_E_MEMORY, "out of memory for the results");
    puts(text);
    cJSON_free(text);
    return WALSH_OK;
}
