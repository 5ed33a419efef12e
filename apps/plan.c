#include "apps/plan.h"

#include <stdio.h>
#include <stdlib.h>

#include "apps/table.h"
#include "engine/base/bytes.h"
#include "engine/model/model.h"
#include "engine/train/memory.h"

const char *walsh_memory_line(const walsh_memory *memory, char out[WALSH_MEMORY_LINE])
{
    char of[WALSH_MEMORY_PARTS], parts[64] = "";
    if (memory->parts > 1)
        snprintf(parts, sizeof parts, " in %d parts of %d", memory->parts, memory->batch / memory->parts);
    snprintf(out, WALSH_MEMORY_LINE, "memory: %s of %s (%s), batch %d%s%s", walsh_show_bytes(memory->total).text,
             walsh_show_bytes(memory->available).text, walsh_memory_parts(memory, of), memory->batch, parts,
             memory->half ? ", --store f16" : "");
    return out;
}

static const walsh_column block_columns[] = {
    {"buffer", "buffer", "%.0f", 1},
    {"offset", "at KiB", "%.2f", 1.0 / 1024},
    {"bytes", "KiB", "%.2f", 1.0 / 1024},
    {"from", "from", "%.0f", 1},
    {"to", "to", "%.0f", 1},
    {"layer", "layer", NULL, 0},
    {"op", "operation", NULL, 0},
    {"operand", "operand", NULL, 0},
};

static const walsh_column launch_columns[] = {
    {"number", "number", "%.0f", 1},  {"layer", "layer", NULL, 0},
    {"op", "operation", NULL, 0},     {"kernel", "kernel", NULL, 0},
    {"items", "work-items", NULL, 0}, {"group", "of", NULL, 0},
    {"flops", "MFLOP", "%.2f", 1e-6}, {"bytes", "MiB", "%.2f", 1.0 / (1 << 20)},
};

static int by_place(const void *left, const void *right)
{
    const walsh_block *a = &((const walsh_plan_block *)left)->block, *b = &((const walsh_plan_block *)right)->block;
    if (a->chunk != b->chunk) return a->chunk < b->chunk ? -1 : 1;
    if (a->offset != b->offset) return a->offset < b->offset ? -1 : 1;
    return (a->first > b->first) - (a->first < b->first);
}

static void add_block(cJSON *rows, const walsh_plan_block *b, int operations)
{
    cJSON *row = cJSON_CreateObject();
    cJSON_AddNumberToObject(row, "buffer", b->block.chunk + 1);
    cJSON_AddNumberToObject(row, "offset", (double)b->block.offset);
    cJSON_AddNumberToObject(row, "bytes", (double)b->block.bytes);
    cJSON_AddNumberToObject(row, "from", b->block.first + 1);
    cJSON_AddNumberToObject(row, "to", (b->block.last < operations ? b->block.last + 1 : operations));
    cJSON_AddStringToObject(row, "layer", b->layer);
    cJSON_AddStringToObject(row, "op", b->operation);
    cJSON_AddStringToObject(row, "operand", b->operand);
    cJSON_AddItemToArray(rows, row);
}

static walsh_status print_blocks(const char *phase, const walsh_plan *plan)
{
    walsh_plan_block *blocks = NULL;
    size_t count = 0;
    WALSH_TRY(walsh_plan_blocks(plan, &blocks, &count));
    cJSON *rows = cJSON_CreateArray();
    if (count) qsort(blocks, count, sizeof *blocks, by_place);
    for (size_t i = 0; i < count; i++) add_block(rows, &blocks[i], walsh_plan_count(plan));
    printf("\n%s: activations and workspaces, and the numbers of the operations that use them first and last\n", phase);
    walsh_table_print(rows, block_columns, sizeof block_columns / sizeof *block_columns);
    cJSON_Delete(rows);
    free(blocks);
    return WALSH_OK;
}

static void add_sizes(cJSON *row, const char *key, const size_t size[3])
{
    char text[64];
    int used = snprintf(text, sizeof text, "%zu", size[0]);
    if (size[1] > 1 || size[2] > 1) used += snprintf(text + used, sizeof text - (size_t)used, "x%zu", size[1]);
    if (size[2] > 1) snprintf(text + used, sizeof text - (size_t)used, "x%zu", size[2]);
    cJSON_AddStringToObject(row, key, size[0] ? text : "");
}

static void print_launches(const char *title, const walsh_list *list)
{
    cJSON *rows = cJSON_CreateArray();
    for (size_t i = 0; i < walsh_list_count(list); i++) {
        walsh_listed launch = walsh_list_at(list, i);
        cJSON *row = cJSON_CreateObject();
        cJSON_AddNumberToObject(row, "number", launch.number);
        cJSON_AddStringToObject(row, "layer", launch.layer);
        cJSON_AddStringToObject(row, "op", launch.operation);
        cJSON_AddStringToObject(row, "kernel", launch.kernel);
        add_sizes(row, "items", launch.global);
        add_sizes(row, "group", launch.local);
        cJSON_AddNumberToObject(row, "flops", launch.flops);
        cJSON_AddNumberToObject(row, "bytes", launch.bytes);
        cJSON_AddItemToArray(rows, row);
    }
    if (walsh_list_count(list)) {
        printf("\n%s, %zu launches\n", title, walsh_list_count(list));
        walsh_table_print(rows, launch_columns, sizeof launch_columns / sizeof *launch_columns);
    }
    cJSON_Delete(rows);
}

walsh_status walsh_plan_print(void *context, const walsh_model *model, const walsh_memory *memory)
{
    (void)context;
    const walsh_network *network = model->network;
    const walsh_plan *train = walsh_network_plan(network, WALSH_NETWORK_TRAIN),
                     *update = walsh_network_plan(network, WALSH_NETWORK_UPDATE),
                     *evaluate = walsh_network_plan(network, WALSH_NETWORK_EVALUATE);
    char line[WALSH_MEMORY_LINE], title[64] = "training, a step";
    if (update) snprintf(title, sizeof title, "training, each of %d parts of a step", memory->parts);
    puts(walsh_memory_line(memory, line));
    WALSH_TRY(print_blocks("training", train));
    print_launches("training, before the first step", walsh_plan_launches(train, true));
    print_launches(title, walsh_plan_launches(train, false));
    if (update) print_launches("training, the end of a step", walsh_plan_launches(update, false));
    WALSH_TRY(print_blocks("evaluation", evaluate));
    print_launches("evaluation, before the first batch", walsh_plan_launches(evaluate, true));
    print_launches("evaluation, a batch", walsh_plan_launches(evaluate, false));
    return WALSH_OK;
}
