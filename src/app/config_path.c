/* config_path: the default configuration; see the header. Called by run, check and explain. */
#include "app/config_path.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define LOCAL_PATH "conf/sallyport.yaml"
#define SYSTEM_PATH "/etc/sallyport/sallyport.yaml"

const char *default_config_path(void) {
    /* A file that is there but cannot be read is an error to be told, not a reason to read another one. */
    if (access(LOCAL_PATH, F_OK) == 0)
        return LOCAL_PATH;
    if (access(SYSTEM_PATH, F_OK) != 0 && errno == ENOENT)
        fputs("sallyport: neither ./" LOCAL_PATH " nor " SYSTEM_PATH " is there: name a configuration with -c FILE\n",
              stderr);
    return SYSTEM_PATH;
}
