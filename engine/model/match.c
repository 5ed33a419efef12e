#include "engine/model/match.h"

#include <stdio.h>
#include <string.h>

#include "engine/base/utf8.h"

enum { NAME = 128, SHOWN = 3 };

bool walsh_match_is_head(const char *name, const char *head)
{
    size_t n = strlen(head);
    return !strncmp(name, head, n) && name[n] == '.';
}

/* Copies a name; what torchvision's dense layers are made of has one spelling since 2018 and had another before. */
static void respell(const char *name, bool since_2018, char out[NAME])
{
    static const char *const spellings[][2] = {
        {".norm.1.", ".norm1."}, {".norm.2.", ".norm2."}, {".conv.1.", ".conv1."}, {".conv.2.", ".conv2."}};
    snprintf(out, NAME, "%s", name);
    const char *layer = strstr(name, "denselayer");
    for (int i = 0; i < 4 && layer; i++) {
        const char *from = spellings[i][!since_2018], *at = strstr(layer, from);
        if (at) snprintf(out, NAME, "%.*s%s%s", (int)(at - name), name, spellings[i][since_2018], at + strlen(from));
    }
}

static const walsh_safetensors_entry *find(const walsh_safetensors *file, const char *name)
{
    char old[NAME];
    const walsh_safetensors_entry *entry = walsh_safetensors_find(file, name);
    respell(name, false, old);
    return entry ? entry : walsh_safetensors_find(file, old);
}

static bool same_shape(const walsh_safetensors_entry *entry, const walsh_parameter *p)
{
    bool same = entry->rank == p->rank;
    for (int d = 0; d < p->rank; d++) same = same && entry->shape[d] == (size_t)p->dims[d];
    return same;
}

const walsh_safetensors_entry *walsh_match_find(const walsh_safetensors *file, const char *prefix,
                                                const walsh_parameter *parameter)
{
    char name[NAME];
    snprintf(name, sizeof name, "%s%s", prefix, parameter->name);
    const walsh_safetensors_entry *entry = find(file, name);
    return entry && same_shape(entry, parameter) ? entry : NULL;
}

/* How many there are of a kind of difference, and the first few of them as text. */
typedef struct differences {
    size_t count;
    char text[SHOWN * 256 + 8];
} differences;

static void add(differences *d, const char *what)
{
    size_t used = strlen(d->text);
    if (d->count++ < SHOWN)
        snprintf(d->text + used, sizeof d->text - used, "%s%.250s", used ? ", " : "", what);
    else if (d->count == SHOWN + 1)
        snprintf(d->text + used, sizeof d->text - used, ", ...");
}

static void shape_text(int rank, const size_t *shape, char *out, size_t size)
{
    size_t used = (size_t)snprintf(out, size, "[");
    for (int i = 0; i < rank && used < size; i++)
        used += (size_t)snprintf(out + used, size - used, "%s%zu", i ? ", " : "", shape[i]);
    if (used < size) snprintf(out + used, size - used, "]");
}

static void add_shape(differences *d, const walsh_safetensors_entry *entry, const walsh_parameter *p)
{
    size_t want[4] = {0};
    char expected[96], found[96], text[320];
    for (int i = 0; i < p->rank; i++) want[i] = (size_t)p->dims[i];
    shape_text(p->rank, want, expected, sizeof expected);
    shape_text(entry->rank, entry->shape, found, sizeof found);
    snprintf(text, sizeof text, "%s is %s, this model expects %s", p->name, found, expected);
    add(d, text);
}

/* Whether the model has a use for a tensor of that name. */
static bool is_known(const walsh_parameters *parameters, const char *name)
{
    static const char batches[] = "num_batches_tracked", variance[] = "running_var";
    char present[NAME];
    respell(name, true, present);
    if (walsh_parameters_find(parameters, present) >= 0) return true;
    size_t length = strlen(present), end = sizeof batches - 1;
    if (length > end && !strcmp(present + length - end, batches)) {
        strcpy(present + length - end, variance); /* a batch norm's, then */
        return walsh_parameters_find(parameters, present) >= 0;
    }
    return false;
}

static walsh_status report(const char *path, const char *model, const differences *missing,
                           const differences *unexpected, const differences *shapes)
{
    char parts[3][sizeof missing->text + 64] = {"", "", ""};
    int count = 0;
    if (missing->count) snprintf(parts[count++], sizeof *parts, "%zu missing (%s)", missing->count, missing->text);
    if (unexpected->count)
        snprintf(parts[count++], sizeof *parts, "%zu unexpected (%s)", unexpected->count, unexpected->text);
    if (shapes->count)
        snprintf(parts[count++], sizeof *parts, "%zu of another shape (%s)", shapes->count, shapes->text);
    if (!count) return WALSH_OK;
    WALSH_FAIL(WALSH_E_FORMAT, "%s: its tensors are not those of %s: %s%s%s%s%s", path, model, parts[0],
               count > 1 ? ", " : "", parts[1], count > 2 ? ", " : "", parts[2]);
}

walsh_status walsh_match_check(const walsh_safetensors *file, const char *path, const walsh_parameters *parameters,
                               const char *model, const char *but)
{
    static const char momentum[] = WALSH_MOMENTUM_PREFIX;
    differences missing = {0}, unexpected = {0}, shapes = {0};
    for (int i = 0; i < walsh_parameters_count(parameters); i++) {
        const walsh_parameter *p = walsh_parameters_at(parameters, i);
        if (but && walsh_match_is_head(p->name, but)) continue;
        const walsh_safetensors_entry *entry = find(file, p->name);
        if (!entry)
            add(&missing, p->name);
        else if (!same_shape(entry, p))
            add_shape(&shapes, entry, p);
    }
    for (size_t i = 0; i < walsh_safetensors_count(file); i++) {
        const char *name = walsh_safetensors_at(file, i)->name;
        const char *of = strncmp(name, momentum, sizeof momentum - 1) ? name : name + sizeof momentum - 1;
        if (!(but && walsh_match_is_head(of, but)) && !is_known(parameters, of))
            add(&unexpected, walsh_show(name).text);
    }
    return report(path, model, &missing, &unexpected, &shapes);
}
