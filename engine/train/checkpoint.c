#include "engine/train/checkpoint.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/file.h"
#include "engine/base/utf8.h"

enum { PATH = 4096 };

static const char header[] =
    "epoch,step,lr,train_loss,train_error,val_loss,val_error,alpha,seconds,images_per_second\n";

static walsh_status path_of(const char *folder, const char *name, char out[PATH])
{
    if (snprintf(out, PATH, "%s/%s", folder, name) >= PATH)
        WALSH_FAIL(WALSH_E_ARGUMENT, "the path of %s/%s is too long", folder, name);
    return WALSH_OK;
}

walsh_status walsh_position_add_row(walsh_position *position, const walsh_train_row *row)
{
    WALSH_TRY(walsh_grow(&position->rows, (size_t)position->row_count, sizeof *position->rows, "the log"));
    position->rows[position->row_count++] = *row;
    return WALSH_OK;
}

walsh_status walsh_checkpoint_free(const char *folder)
{
    static const char *const files[] = {"state.safetensors", "log.csv", "last.safetensors", "best.safetensors"};
    char path[PATH];
    for (int i = 0; i < 4; i++) {
        WALSH_TRY(path_of(folder, files[i], path));
        if (!access(path, F_OK))
            WALSH_FAIL(WALSH_E_ARGUMENT,
                       "--out %s: the folder already holds a run (%s): continue it with --resume, or name another",
                       folder, files[i]);
    }
    return WALSH_OK;
}

enum { ROW = 256 };

/* A row's columns without those of time. Numbers as %.9g: enough to tell two floats apart. */
static int row_text(const walsh_train_row *r, char *out)
{
    return snprintf(out, ROW, "%d,%llu,%.9g,%.9g,%.9g,%.9g,%.9g,%.9g", r->epoch, (unsigned long long)r->step, r->lr,
                    r->train_loss, r->train_error, r->val_loss, r->val_error, r->alpha);
}

/* The rows as text, which the caller frees: log.csv, or without header and times for the state. */
static walsh_status log_text(const walsh_position *position, bool whole, char **text)
{
    WALSH_TRY(walsh_alloc(text, sizeof header + (size_t)position->row_count * ROW, 1, "the log"));
    char *end = whole ? stpcpy(*text, header) : *text;
    for (int i = 0; i < position->row_count; i++) {
        const walsh_train_row *r = &position->rows[i];
        end += row_text(r, end);
        if (whole) end += sprintf(end, ",%.3f,%.1f", r->seconds, r->images_per_second);
        *end++ = '\n';
    }
    return WALSH_OK;
}

static walsh_status write_log(const char *folder, const walsh_position *position)
{
    char path[PATH], *text = NULL;
    WALSH_TRY(path_of(folder, "log.csv", path));
    WALSH_TRY(log_text(position, true, &text));
    const walsh_file_part part = {text, strlen(text)};
    walsh_status status = walsh_file_replace(path, &part, 1);
    free(text);
    return status;
}

/* The position as text: hexadecimal floats, so that nothing is lost. */
static walsh_status store_position(walsh_snapshot *snapshot, const walsh_position *p)
{
    char text[512], *rows = NULL;
    snprintf(text, sizeof text, "%d %llu %llu %a %a %llu %a %llu", p->epoch, (unsigned long long)p->epoch_step,
             (unsigned long long)p->step, p->loss, p->wrong, (unsigned long long)p->images, p->best_error,
             (unsigned long long)p->best_step);
    WALSH_TRY(walsh_snapshot_add_text(snapshot, "train.position", text));
    WALSH_TRY(log_text(p, false, &rows));
    walsh_status status = walsh_snapshot_add_text(snapshot, "train.log", rows);
    free(rows);
    return status;
}

/* The variants that the run's plans have chosen. */
static walsh_status store_plan(walsh_snapshot *snapshot, const walsh_model *model)
{
    walsh_wisdom *choices = NULL;
    char *text = NULL;
    WALSH_TRY(walsh_wisdom_create(&choices));
    walsh_status status = walsh_network_choices(model->network, choices);
    if (!status) status = walsh_wisdom_text(choices, &text);
    if (!status) status = walsh_snapshot_add_text(snapshot, "train.plan", text);
    free(text);
    walsh_wisdom_destroy(&choices);
    return status;
}

/* All files but the state: each can be made again from it. The snapshot is packed. */
static walsh_status write_followers(const char *folder, const walsh_snapshot *snapshot, const walsh_position *position)
{
    char path[PATH];
    WALSH_TRY(write_log(folder, position));
    WALSH_TRY(path_of(folder, "last.safetensors", path));
    WALSH_TRY(walsh_snapshot_write_model(snapshot, path));
    if (!isfinite(position->best_error) || position->best_step != position->step) return WALSH_OK;
    WALSH_TRY(path_of(folder, "best.safetensors", path));
    return walsh_snapshot_write_model(snapshot, path);
}

struct walsh_checkpoint {
    const char *folder;
    const walsh_model *model;
    const walsh_train_options *options;
    walsh_snapshot *snapshot;
    walsh_position position; /* with rows of its own */
};

walsh_status walsh_checkpoint_begin(const char *folder, const walsh_model *model, const walsh_train_options *options,
                                    walsh_checkpoint **checkpoint)
{
    WALSH_TRY(walsh_alloc(checkpoint, 1, sizeof **checkpoint, "a checkpoint"));
    **checkpoint = (walsh_checkpoint){.folder = folder, .model = model, .options = options};
    walsh_status status = walsh_snapshot_take(model, true, &(*checkpoint)->snapshot);
    if (status) walsh_checkpoint_abandon(checkpoint);
    return status;
}

void walsh_checkpoint_abandon(walsh_checkpoint **checkpoint)
{
    if (!*checkpoint) return;
    walsh_snapshot_destroy(&(*checkpoint)->snapshot);
    free((*checkpoint)->position.rows);
    free(*checkpoint);
    *checkpoint = NULL;
}

/* The writer's work. */
static walsh_status write_all(void *context)
{
    walsh_checkpoint *c = context;
    char path[PATH];
    walsh_status status = path_of(c->folder, "state.safetensors", path);
    if (!status) status = walsh_snapshot_pack(c->snapshot);
    if (!status) status = walsh_options_store(c->options, c->snapshot);
    if (!status) status = store_position(c->snapshot, &c->position);
    if (!status) status = store_plan(c->snapshot, c->model);
    if (!status) status = walsh_snapshot_write(c->snapshot, path);
    if (!status) status = write_followers(c->folder, c->snapshot, &c->position);
    walsh_checkpoint_abandon(&c);
    return status;
}

static walsh_status copy_position(walsh_position *to, const walsh_position *from)
{
    *to = *from;
    WALSH_TRY(walsh_alloc(&to->rows, (size_t)from->row_count, sizeof *to->rows, "the log"));
    if (from->row_count) memcpy(to->rows, from->rows, (size_t)from->row_count * sizeof *to->rows);
    return WALSH_OK;
}

walsh_status walsh_checkpoint_finish(walsh_checkpoint **checkpoint, const walsh_position *position, walsh_task *writer)
{
    walsh_checkpoint *c = *checkpoint;
    *checkpoint = NULL;
    walsh_status status = copy_position(&c->position, position);
    if (!status) status = walsh_snapshot_wait(c->snapshot);
    if (!status) status = walsh_task_begin(writer, write_all, c);
    if (status) walsh_checkpoint_abandon(&c);
    return status;
}

/* A row's times, which only log.csv has; zeros where it is lost. */
static void recall_times(const char *log, walsh_train_row *row)
{
    char columns[ROW];
    int length = row_text(row, columns);
    const char *line = log ? strstr(log, columns) : NULL;
    if (!line || sscanf(line + length, ",%lf,%lf", &row->seconds, &row->images_per_second) != 2)
        row->seconds = row->images_per_second = 0;
}

static walsh_status recall_rows(const char *path, const char *text, const char *log, walsh_position *position)
{
    for (const char *line = text; *line;) {
        walsh_train_row r = {0};
        unsigned long long step;
        int used = 0;
        if (sscanf(line, "%d,%llu,%lf,%lf,%lf,%lf,%lf,%lf\n%n", &r.epoch, &step, &r.lr, &r.train_loss, &r.train_error,
                   &r.val_loss, &r.val_error, &r.alpha, &used) != 8 ||
            !used)
            WALSH_FAIL(WALSH_E_FORMAT, "%s: its train.log cannot be read from '%.40s'", path, walsh_show(line).text);
        r.step = step;
        recall_times(log, &r);
        WALSH_TRY(walsh_position_add_row(position, &r));
        line += used;
    }
    return WALSH_OK;
}

static walsh_status recall_position(const walsh_safetensors *file, const char *path, const char *log, walsh_position *p)
{
    const char *text = walsh_safetensors_metadata(file, "train.position"),
               *rows = walsh_safetensors_metadata(file, "train.log");
    unsigned long long epoch_step, step, images, best_step;
    *p = (walsh_position){0};
    if (!text || !rows ||
        sscanf(text, "%d %llu %llu %la %la %llu %la %llu", &p->epoch, &epoch_step, &step, &p->loss, &p->wrong, &images,
               &p->best_error, &best_step) != 8)
        WALSH_FAIL(WALSH_E_FORMAT, "%s: this is no state of a run: 'train.position' or 'train.log' cannot be read",
                   path);
    p->epoch_step = epoch_step, p->step = step, p->images = images, p->best_step = best_step;
    return recall_rows(path, rows, log, p);
}

static walsh_status open_state(const char *folder, char path[PATH], walsh_safetensors **file)
{
    WALSH_TRY(path_of(folder, "state.safetensors", path));
    return walsh_safetensors_open(path, file);
}

walsh_status walsh_checkpoint_wisdom(const char *folder, walsh_wisdom **wisdom)
{
    char path[PATH];
    walsh_safetensors *file = NULL;
    WALSH_TRY(open_state(folder, path, &file));
    const char *text = walsh_safetensors_metadata(file, "train.plan");
    walsh_status status = walsh_wisdom_create(wisdom);
    if (!status && text) status = walsh_wisdom_parse(*wisdom, text, path);
    if (status) walsh_wisdom_destroy(wisdom);
    walsh_safetensors_close(&file);
    return status;
}

static walsh_status mend_followers(const char *folder, const walsh_model *model, const walsh_position *position)
{
    walsh_snapshot *snapshot = NULL;
    WALSH_TRY(walsh_snapshot_take(model, false, &snapshot));
    walsh_status status = walsh_snapshot_wait(snapshot);
    if (!status) status = walsh_snapshot_pack(snapshot);
    if (!status) status = write_followers(folder, snapshot, position);
    walsh_snapshot_destroy(&snapshot);
    return status;
}

walsh_status walsh_checkpoint_resume(const char *folder, const walsh_train_options *options, walsh_model *model,
                                     walsh_position *position)
{
    char path[PATH], log_path[PATH], *log = NULL;
    walsh_safetensors *file = NULL;
    size_t size;
    *position = (walsh_position){0};
    WALSH_TRY(path_of(folder, "log.csv", log_path));
    WALSH_TRY(open_state(folder, path, &file));
    if (walsh_file_read(log_path, &log, &size)) log = NULL;
    walsh_status status = walsh_options_compare(file, path, options);
    if (!status) status = recall_position(file, path, log, position);
    if (!status) status = walsh_snapshot_restore(file, path, model, true);
    walsh_safetensors_close(&file);
    free(log);
    return status ? status : mend_followers(folder, model, position);
}

/* Moves the options' strings into one block, so that they outlive the file. */
static walsh_status keep_strings(walsh_train_options *options, char **memory)
{
    const char **const strings[] = {&options->model.name, &options->data, &options->init};
    size_t bytes = 0;
    for (int i = 0; i < 3; i++) bytes += *strings[i] ? strlen(*strings[i]) + 1 : 0;
    WALSH_TRY(walsh_alloc(memory, bytes, 1, "the options of a run"));
    char *end = *memory;
    for (int i = 0; i < 3; i++) {
        if (!*strings[i]) continue;
        const char *kept = end;
        end = stpcpy(end, *strings[i]) + 1;
        *strings[i] = kept;
    }
    return WALSH_OK;
}

walsh_status walsh_train_recall(const char *out, walsh_train_options *options, char **memory)
{
    char path[PATH];
    walsh_safetensors *file = NULL;
    *memory = NULL;
    WALSH_TRY(open_state(out, path, &file));
    walsh_status status = walsh_options_recall(file, path, options);
    if (!status) status = keep_strings(options, memory);
    walsh_safetensors_close(&file);
    return status;
}
