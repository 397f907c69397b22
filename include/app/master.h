/*
 * master: the process behind `sallyport run`: binds the sockets, starts control and the workers and replaces those that
 * end, keeps the generation in force for them, answers signals and the service manager. Reads nothing that comes from a
 * network, and no configuration.
 */
#ifndef SALLYPORT_APP_MASTER_H
#define SALLYPORT_APP_MASTER_H

/* Runs until stopped. Returns the exit status: 0 after a graceful stop, 1 when it could not start or QUIT came, 2 for a
 * bad configuration. */
int master_run(const char *config_path);

#endif
