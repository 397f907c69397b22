/*
 * gateway: the process behind `sallyport run`: loads the configuration, opens listeners and logs, runs the worker, and
 * answers signals. The control side (files) and the worker side (clients) meet only in a struct resolved, because
 * they are to become processes of their own.
 */
#ifndef SALLYPORT_APP_GATEWAY_H
#define SALLYPORT_APP_GATEWAY_H

/* Runs until stopped. Returns the exit status: 0 after a graceful stop, 1 when it could not start or QUIT came, 2 for a
 * bad configuration. */
int gateway_run(const char *config_path);

#endif
