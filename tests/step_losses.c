/* step_losses OUT: trains ResNet-20 with a Hadamard head on the sample for 20 steps and prints the loss of each; the
 * state is then in the folder OUT. tools/runtimes.sh compares what it prints on several runtimes. */
#include <inttypes.h>
#include <stdio.h>

#include <walsh/walsh.h>

enum { STEPS = 20 };

typedef struct losses {
    uint64_t steps;
    double mean;
} losses;

/* Each step is told by the mean of all so far; one more may come when it has been stopped. */
static bool observe(void *context, const walsh_train_progress *progress)
{
    losses *l = context;
    if (l->steps >= STEPS) return true;
    if (progress->evaluating || progress->run_step == l->steps) return false;
    double before = l->mean * (double)l->steps;
    l->steps = progress->run_step;
    l->mean = progress->loss;
    printf("%" PRIu64 " %.9g\n", l->steps, l->mean * (double)l->steps - before);
    return l->steps >= STEPS;
}

static walsh_status train(const char *out)
{
    walsh_train_options options;
    walsh_device *device = NULL;
    losses l = {0};
    walsh_status status = walsh_train_defaults("resnet20", "sample", &options);
    if (!status) status = walsh_device_open(NULL, &device);
    options.out = out;
    options.batch = 4; /* llvmpipe takes a second for each image of a step */
    options.steps = 2 * STEPS; /* it is stopped before the evaluation */
    options.lr = 1e-5; /* at 3e-4, roundings of other tiles have become 4e-2 after 20 steps */
    options.exact = true; /* Winograd's are for where there is local memory enough */
    options.schedule.kind = WALSH_SCHEDULE_CONSTANT;
    options.model.head = WALSH_HEAD_HADAMARD;
    options.seed = 1;
    if (!status) status = walsh_train(device, &options, observe, &l, NULL);
    walsh_device_close(&device);
    return status == WALSH_E_STOPPED && l.steps == STEPS ? WALSH_OK : status ? status : WALSH_E_ARGUMENT;
}

int main(int argc, char **argv)
{
    if (argc != 2) return 2;
    walsh_status status = train(argv[1]);
    if (status) fprintf(stderr, "step_losses: %s\n", walsh_message());
    return status != WALSH_OK;
}
