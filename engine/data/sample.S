/* Puts the files of engine/data/sample into the library's constants; sample.h declares them. */
    .macro embed name, file
    .global \name
    .hidden \name
    .type \name, %object
    .global \name\()_end
    .hidden \name\()_end
    .type \name\()_end, %object
    .balign 16
\name:
    .incbin "\file"
\name\()_end:
    .byte 0
    .size \name, \name\()_end - \name
    .endm

    .section .rodata
    embed walsh_sample_train, "engine/data/sample/data_batch_1.bin"
    embed walsh_sample_test, "engine/data/sample/test_batch.bin"
    embed walsh_sample_names, "engine/data/sample/batches.meta.txt"

    .section .note.GNU-stack, "", %progbits
