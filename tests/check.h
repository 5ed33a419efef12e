/* What every check includes: cmocka with the headers that it needs first, and an assertion on statuses. */
#ifndef WALSH_TESTS_CHECK_H
#define WALSH_TESTS_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <walsh/status.h>

/* The call succeeds; its message is shown if not. */
#define assert_ok(call)                                                                                                \
    do {                                                                                                               \
        walsh_status check_status_ = (call);                                                                           \
        if (check_status_) fail_msg("%s: %s (%s)", #call, walsh_message(), walsh_status_name(check_status_));          \
    } while (0)

/* The call fails with `status`, and its message contains `part`. */
#define assert_fails(status, part, call)                                                                               \
    do {                                                                                                               \
        walsh_status check_status_ = (call);                                                                           \
        if (check_status_ != (status) || !strstr(walsh_message(), (part)))                                             \
            fail_msg("%s: expected %s with '%s', got %s: %s", #call, walsh_status_name(status), (part),                \
                     walsh_status_name(check_status_), check_status_ ? walsh_message() : "");                          \
    } while (0)

#endif
