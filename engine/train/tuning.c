#include "engine/train/tuning.h"

#include "engine/base/log.h"
#include "engine/train/checkpoint.h"

/* What stands between the engine's observer and the caller's. */
typedef struct listener {
    walsh_tuning_observer observer;
    void *context;
} listener;

static bool tell(void *context, const walsh_tuned_problem *problem)
{
    const listener *l = context;
    const walsh_tuned *tuned = &problem->tuned;
    const walsh_tuning_step step = {.number = problem->number,
                                    .problems = problem->problems,
                                    .operation = problem->op->name,
                                    .layer = problem->label,
                                    .uses = problem->uses,
                                    .by_rule = tuned->by_rule->name,
                                    .fastest = tuned->fastest->name,
                                    .by_rule_ms = 1e3 * tuned->rule_seconds,
                                    .fastest_ms = 1e3 * tuned->fastest_seconds,
                                    .refused = tuned->refused};
    return l->observer && l->observer(l->context, &step);
}

walsh_status walsh_tuning_consult_device(walsh_model *model)
{
    walsh_wisdom *wisdom = NULL;
    WALSH_TRY(walsh_wisdom_load(walsh_network_device(model->network), &wisdom));
    if (!walsh_wisdom_count(wisdom))
        walsh_log(WALSH_LOG_INFO, "no wisdom for this device: kernels are chosen by rule; `walsh tune` would measure "
                                  "them in about half a minute");
    walsh_network_consult(model->network, &wisdom);
    return WALSH_OK;
}

walsh_status walsh_tuning_consult(walsh_model *model, const walsh_train_options *options)
{
    walsh_wisdom *wisdom = NULL;
    if (!options->resume) return walsh_tuning_consult_device(model);
    WALSH_TRY(walsh_checkpoint_wisdom(options->out, &wisdom));
    walsh_network_consult(model->network, &wisdom);
    return WALSH_OK;
}

walsh_status walsh_tuning_run(walsh_model *model, const walsh_train_options *options, double seconds,
                              walsh_tuning_observer observer, void *context)
{
    walsh_device *device = walsh_network_device(model->network);
    walsh_wisdom *wisdom = NULL;
    listener l = {observer, context};
    WALSH_TRY(walsh_wisdom_load(device, &wisdom));
    walsh_status status = walsh_network_tune(model->network, seconds, wisdom, tell, &l);
    /* What is fastest among exact variants alone is wisdom for this run, not for those that come later. */
    bool save = !options->exact && (!status || status == WALSH_E_STOPPED);
    walsh_status saved = save ? walsh_wisdom_save(device, wisdom) : WALSH_OK;
    if (!status) status = saved;
    if (!status) walsh_network_consult(model->network, &wisdom);
    walsh_wisdom_destroy(&wisdom);
    WALSH_TRY(status);
    const walsh_network_purpose purpose = walsh_options_purpose(options);
    return walsh_network_prepare(model->network, &purpose);
}
