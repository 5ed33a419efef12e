/* walsh eval: loss and errors of a weights file on a data set. */
#include "apps/commands.h"
#include "apps/report.h"
#include "apps/session.h"
#include "engine/base/status.h"

#include <stdio.h>

static void print_text(const walsh_session *session, const walsh_evaluation *result)
{
    const walsh_model_info *model = walsh_model_describe(session->model);
    printf("model        %s, %s head, %zu parameters\n", model->name, walsh_head_kind_name(model->head.kind),
           model->parameters);
    printf("data         %s, %s, %zu images\n", session->data, session->split, result->images);
    const size_t bad = walsh_dataset_bad_images(session->dataset);
    if (bad) printf("skipped      %zu bad image%s\n", bad, bad == 1 ? "" : "s");
    printf("top-1 error  %.2f %%\n", result->top1_error);
    printf("top-5 error  %.2f %%\n", result->top5_error);
    printf("loss         %.6f\n", result->loss);
    printf("speed        %.0f images/s (%.2f s)\n", result->images_per_second, result->seconds);
}

static walsh_status print_json(const walsh_session *session, const walsh_evaluation *result)
{
    const walsh_model_info *model = walsh_model_describe(session->model);
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "weights", session->weights);
    cJSON_AddStringToObject(json, "model", model->name);
    cJSON_AddStringToObject(json, "head", walsh_head_kind_name(model->head.kind));
    cJSON_AddNumberToObject(json, "parameters", (double)model->parameters);
    cJSON_AddStringToObject(json, "data", session->data);
    cJSON_AddStringToObject(json, "split", session->split);
    cJSON_AddNumberToObject(json, "images", (double)result->images);
    cJSON_AddNumberToObject(json, "bad_images", (double)walsh_dataset_bad_images(session->dataset));
    cJSON_AddNumberToObject(json, "loss", result->loss);
    cJSON_AddNumberToObject(json, "top1_error", result->top1_error);
    cJSON_AddNumberToObject(json, "top5_error", result->top5_error);
    cJSON_AddNumberToObject(json, "seconds", result->seconds);
    cJSON_AddNumberToObject(json, "images_per_second", result->images_per_second);
    return walsh_report_json(json);
}

static walsh_status evaluate(const walsh_arguments *arguments, walsh_session *session)
{
    walsh_evaluation result;
    WALSH_TRY(walsh_session_open(arguments, session));
    WALSH_TRY(walsh_evaluate(session->model, session->dataset, &session->options, walsh_session_observe, session,
                             &result));
    walsh_bar_clear();
    if (walsh_argument(arguments, WALSH_OPTION_JSON)) return print_json(session, &result);
    print_text(session, &result);
    return WALSH_OK;
}

static walsh_status run(const walsh_arguments *arguments)
{
    walsh_session session;
    walsh_status status = evaluate(arguments, &session);
    walsh_session_close(&session);
    return status;
}

const walsh_command walsh_command_eval = {
    .name = "eval",
    .summary = "measures the errors of a weights file on a data set",
    .synopsis = "--weights FILE --data DATA",
    .about = "Measures the top-1 and top-5 error and the loss of a weights file on a data set."
             "\vExamples:\n"
             "  walsh eval --weights run/best.safetensors --data sample\n"
             "  walsh eval --weights run/best.safetensors --data cifar10:data --split train --json\n",
    .groups = (const struct argp_option *const[]){walsh_options_images, walsh_options_device, walsh_options_progress,
                                                  walsh_options_json, NULL},
    .run = run,
};
