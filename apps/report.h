/* Printing results. */
#ifndef WALSH_APPS_REPORT_H
#define WALSH_APPS_REPORT_H

#include <cjson/cJSON.h>
#include <walsh/status.h>

/* Prints a JSON value on stdout and frees it. Fails with WALSH_E_MEMORY where it is NULL or cannot be printed. */
walsh_status walsh_report_json(cJSON *json);

#endif
