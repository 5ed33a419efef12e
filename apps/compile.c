/* The program walsh-compile, which the library starts to compile kernels beside it (engine/device/compiler.h): no
 * command for users, so it says nothing. */
#include "engine/device/compiler.h"

#include <sys/resource.h>

/* Seconds of the processor's time after which a compiler is stuck: a network's kernels take 20. */
enum { LONGEST = 600 };

int main(int count, char **arguments)
{
    setrlimit(RLIMIT_CPU, &(struct rlimit){.rlim_cur = LONGEST, .rlim_max = LONGEST});
    return count != 2 || walsh_compiler_serve(0, arguments[1]) != WALSH_OK;
}
