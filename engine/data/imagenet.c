/* ImageNet as folders: a folder for each class, numbered in the order of their names, with its images. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "engine/base/status.h"
#include "engine/data/pictures.h"

static bool is_image(int folder, const struct dirent *item)
{
    static const char *const endings[] = {"jpeg", "jpg", "png"};
    const char *dot = strrchr(item->d_name, '.');
    for (size_t i = 0; dot && i < sizeof endings / sizeof *endings; i++)
        if (!strcasecmp(dot + 1, endings[i])) return walsh_is_file(folder, item);
    return false;
}

/* Links to nowhere do. */
static bool exists(const char *path)
{
    struct stat about;
    return !lstat(path, &about);
}

static walsh_status join(char out[PATH_MAX], const char *folder, const char *name)
{
    if (snprintf(out, PATH_MAX, "%s/%s", folder, name) < PATH_MAX) return WALSH_OK;
    WALSH_FAIL(WALSH_E_FILE, "%s/%s: the path is too long", folder, name);
}

/* Classes are numbered by the folders of the training set, so that a validation set that lacks some agrees; by its own
 * where it stands alone. */
static walsh_status list_classes(const char *path, const char *split, walsh_catalogue *classes)
{
    char folder[PATH_MAX], train[PATH_MAX];
    WALSH_TRY(join(folder, path, split));
    WALSH_TRY(join(train, path, "train"));
    if (!exists(folder))
        WALSH_FAIL(WALSH_E_FILE, "%s: expected the folder %s in it, with a folder of images for each class: %s", path,
                   split, strerror(errno));
    const char *source = exists(train) ? train : folder;
    WALSH_TRY(walsh_catalogue_list(classes, source, walsh_is_folder, (walsh_entry){0}));
    if (!classes->count)
        WALSH_FAIL(WALSH_E_FORMAT, "%s: expected a folder of images for each class, found no folder", source);
    return WALSH_OK;
}

/* A folder that is no class would be left out without a word. */
static bool is_class(const walsh_catalogue *classes, const char *name)
{
    size_t low = 0, high = classes->count;
    while (low < high) {
        size_t at = (low + high) / 2;
        int order = strcmp(name, walsh_catalogue_at(classes, at));
        if (!order) return true;
        if (order < 0)
            high = at;
        else
            low = at + 1;
    }
    return false;
}

static walsh_status check_folders(const char *folder, const walsh_catalogue *classes)
{
    walsh_catalogue found = {0};
    walsh_status status = walsh_catalogue_list(&found, folder, walsh_is_folder, (walsh_entry){0});
    for (size_t i = 0; i < found.count && !status; i++) {
        const char *name = walsh_catalogue_at(&found, i);
        if (!is_class(classes, name))
            status = walsh_fail(WALSH_E_FORMAT, "%s/%s: the training set has no such class", folder, name);
    }
    walsh_catalogue_free(&found);
    return status;
}

static walsh_status list_class(walsh_catalogue *images, const char *folder, int label)
{
    const size_t before = images->count;
    WALSH_TRY(walsh_catalogue_parent(images, folder));
    WALSH_TRY(walsh_catalogue_list(images, folder, is_image, (walsh_entry){.label = label}));
    if (images->count > before) return WALSH_OK;
    WALSH_FAIL(WALSH_E_FORMAT, "%s: expected images of this class (.JPEG, .jpg, .jpeg or .png), found none", folder);
}

walsh_status walsh_imagenet_open(const char *path, walsh_split split, const walsh_dataset_options *options,
                                 walsh_dataset *set)
{
    const char *name = split == WALSH_SPLIT_TRAIN ? "train" : "val";
    char folder[PATH_MAX], class[PATH_MAX];
    WALSH_TRY(walsh_pictures_begin(set, "imagenet", options));
    walsh_pictures *pictures = walsh_pictures_of(set);
    WALSH_TRY(list_classes(path, name, &pictures->classes));
    WALSH_TRY(join(folder, path, name));
    WALSH_TRY(check_folders(folder, &pictures->classes));
    for (size_t c = 0; c < pictures->classes.count; c++) {
        WALSH_TRY(join(class, folder, walsh_catalogue_at(&pictures->classes, c)));
        if (exists(class)) WALSH_TRY(list_class(&pictures->images, class, (int)c));
    }
    if (!pictures->images.count)
        WALSH_FAIL(WALSH_E_FORMAT, "%s: expected a folder of images for each class, found none", folder);
    return walsh_pictures_end(set);
}
