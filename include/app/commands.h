/*
 * commands: the subcommands of the program, one file each. argv[0] is the subcommand's name. Each returns the exit
 * status: 0 yes or done, 1 no, denied or failed, 2 bad usage or configuration. All take -h.
 */
#ifndef SALLYPORT_APP_COMMANDS_H
#define SALLYPORT_APP_COMMANDS_H

int cmd_run(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_explain(int argc, char **argv);
int cmd_verify(int argc, char **argv);
int cmd_upgrade(int argc, char **argv);
int cmd_crls(int argc, char **argv);
int cmd_whoami(int argc, char **argv);
int cmd_version(int argc, char **argv);
/* Hidden. */
int cmd_sandbox_test(int argc, char **argv);

#endif
