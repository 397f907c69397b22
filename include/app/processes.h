/* processes: what master's children run: `sallyport control -c FILE` and `sallyport worker INDEX`, not for people:
 * their descriptor 3 is a channel to master. */
#ifndef SALLYPORT_APP_PROCESSES_H
#define SALLYPORT_APP_PROCESSES_H

int cmd_control(int argc, char **argv);
int cmd_worker(int argc, char **argv);

/* For both: the channel's descriptor, and that signals meant for the whole process group are master's business. Returns
 * -1 when this is no child of a master. */
#define PROCESS_CHANNEL_FD 3
int process_begin(const char *name);

#endif
