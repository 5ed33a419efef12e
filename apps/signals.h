/* Ctrl-C and SIGTERM: the first asks the work to stop and save, a second one ends the process at once. */
#ifndef WALSH_APPS_SIGNALS_H
#define WALSH_APPS_SIGNALS_H

/* From here on SIGINT and SIGTERM only set a flag, and a file that outgrows the process's limit is a failed write. */
void walsh_signals_catch(void);

/* The signal that came, 0 if none. */
int walsh_signals_caught(void);

#endif
