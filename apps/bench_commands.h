/* The members of `walsh bench` with files of their own. */
#ifndef WALSH_APPS_BENCH_COMMANDS_H
#define WALSH_APPS_BENCH_COMMANDS_H

#include "apps/options.h"

extern const walsh_command walsh_command_bench_head;
extern const walsh_command walsh_command_bench_step;
extern const walsh_command walsh_command_bench_layers;
extern const walsh_command walsh_command_bench_data;

#endif
