/* The subcommands, one file each. */
#ifndef WALSH_APPS_COMMANDS_H
#define WALSH_APPS_COMMANDS_H

#include "apps/options.h"

#include <walsh/walsh.h>

extern const walsh_command walsh_command_devices;
extern const walsh_command walsh_command_train;
extern const walsh_command walsh_command_eval;
extern const walsh_command walsh_command_predict;
extern const walsh_command walsh_command_head;
extern const walsh_command walsh_command_tune;
extern const walsh_command walsh_command_bench;

#endif
