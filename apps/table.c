#include "apps/table.h"

#include <stdio.h>
#include <string.h>

enum { CELL = 96 };

static const char *cell(const cJSON *row, const walsh_column *c, char out[CELL])
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(row, c->key);
    out[0] = 0;
    if (cJSON_IsNumber(item) && c->format) {
        snprintf(out, CELL, c->format, (c->scale > 0 ? c->scale : 1) * item->valuedouble);
    } else if (cJSON_IsString(item)) {
        snprintf(out, CELL, "%s", item->valuestring);
    } else if (cJSON_IsArray(item)) {
        const cJSON *word;
        cJSON_ArrayForEach(word, item)
        {
            size_t used = strlen(out);
            snprintf(out + used, CELL - used, "%s%s", used ? "+" : "", word->valuestring);
        }
    }
    return out;
}

/* Characters that a column takes; 0: it has nothing to say. */
static int width_of(const cJSON *rows, const walsh_column *c)
{
    char text[CELL];
    const cJSON *row;
    int widest = 0, heading = (int)strlen(c->heading);
    cJSON_ArrayForEach(row, rows)
    {
        int length = (int)strlen(cell(row, c, text));
        if (length > widest) widest = length;
    }
    return widest && heading > widest ? heading : widest;
}

/* One line: of the headings where `row` is NULL. */
static void print_line(const cJSON *row, const walsh_column *columns, size_t count, const int *width)
{
    char text[CELL];
    const char *gap = "";
    for (size_t i = 0; i < count; i++) {
        if (!width[i]) continue;
        printf("%s%*s", gap, columns[i].format ? width[i] : -width[i],
               row ? cell(row, &columns[i], text) : columns[i].heading);
        gap = "  ";
    }
    puts("");
}

void walsh_table_print(const cJSON *rows, const walsh_column *columns, size_t count)
{
    const cJSON *row;
    int width[WALSH_MOST_COLUMNS];
    for (size_t i = 0; i < count; i++) width[i] = width_of(rows, &columns[i]);
    print_line(NULL, columns, count, width);
    cJSON_ArrayForEach(row, rows) print_line(row, columns, count, width);
}
