/* Where the encoded images of a data set lie, named files or parts of larger ones, in little memory: 1.3 million images
 * take about 60 MB. */
#ifndef WALSH_ENGINE_DATA_CATALOGUE_H
#define WALSH_ENGINE_DATA_CATALOGUE_H

#include <walsh/status.h>

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct walsh_entry {
    uint64_t offset; /* within the parent ... */
    uint32_t size;   /* ... that is a file with images in it; 0: the image is a file of its own in the parent folder */
    uint32_t name;   /* where its name begins in the text */
    uint32_t parent; /* number of the folder, or of the file with images in it */
    int32_t label;
} walsh_entry;

/* Zero is an empty catalogue. All strings lie in `text`, each ended by NUL. */
typedef struct walsh_catalogue {
    char *text;
    size_t text_size, text_room;
    walsh_entry *entry; /* [count] */
    size_t count;
    uint32_t *parent; /* [parents] where their paths begin in the text */
    size_t parents;
} walsh_catalogue;

/* Adds a string; *at is where it begins. Fails with WALSH_E_MEMORY. */
walsh_status walsh_catalogue_text(walsh_catalogue *catalogue, const char *string, uint32_t *at);

/* Adds a parent; entries added next may name it by its number, `parents` - 1. Fails with WALSH_E_MEMORY. */
walsh_status walsh_catalogue_parent(walsh_catalogue *catalogue, const char *path);

/* Adds an image of the parent added last; `entry`'s name and parent are filled in. Fails with WALSH_E_MEMORY. */
walsh_status walsh_catalogue_add(walsh_catalogue *catalogue, const char *name, walsh_entry entry);

/* Whether an item of an open folder is wanted. */
typedef bool (*walsh_folder_filter)(int folder, const struct dirent *item);

/* Filters: folders, and links to some; regular files, and links to some. Hidden ones are neither, links to nowhere
 * both. */
bool walsh_is_folder(int folder, const struct dirent *item);
bool walsh_is_file(int folder, const struct dirent *item);

/* Adds what is wanted of a folder, in the order of the names' bytes. WALSH_E_FILE where it cannot be listed. */
walsh_status walsh_catalogue_list(walsh_catalogue *catalogue, const char *path, walsh_folder_filter wanted,
                                  walsh_entry entry);

/* The name of entry `index`, until the next one is added. */
const char *walsh_catalogue_at(const walsh_catalogue *catalogue, size_t index);

/* Bytes of an image, in memory that grows as needed and is used again. */
typedef struct walsh_bytes {
    uint8_t *bytes;
    size_t size, room;
} walsh_bytes;

/* Reads image `index`. WALSH_E_FILE where that fails, WALSH_E_FORMAT for more than a GiB. From several threads at once,
 * each with its own `into`. */
walsh_status walsh_catalogue_read(const walsh_catalogue *catalogue, size_t index, walsh_bytes *into);

/* Writes what messages call image `index` into out[size]: "folder/image.jpg", or "file.tar: image.jpg". */
void walsh_catalogue_name(const walsh_catalogue *catalogue, size_t index, char *out, size_t size);

void walsh_catalogue_free(walsh_catalogue *catalogue);

#endif
