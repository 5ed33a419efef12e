/* Tables of results: rows are JSON objects, so that --json and the table show the same. */
#ifndef WALSH_APPS_TABLE_H
#define WALSH_APPS_TABLE_H

#include <cjson/cJSON.h>
#include <stddef.h>

enum { WALSH_MOST_COLUMNS = 32 };

/* A column: a key of the rows, which not every row, nor every table, has. */
typedef struct walsh_column {
    const char *key, *heading, *format; /* of a number; NULL: text, or a list of words */
    double scale;                       /* of the number shown; 0: 1 */
} walsh_column;

/* Prints the rows, an array of objects, on stdout, without the columns that have nothing to say. At most
 * WALSH_MOST_COLUMNS. */
void walsh_table_print(const cJSON *rows, const walsh_column *columns, size_t count);

#endif
