/* Printing results. */
#ifndef WALSH_APPS_REPORT_H
#define WALSH_APPS_REPORT_H

#include <cjson/cJSON.h>
#include <walsh/train.h>

/* Prints a JSON value on stdout and frees it. Fails with WALSH_E_MEMORY where it is NULL or cannot be printed. */
walsh_status walsh_report_json(cJSON *json);

/* Prints where the time went, the longest first; sorts `lines`. */
void walsh_report_profile(walsh_profile_line *lines, size_t count);

#endif
