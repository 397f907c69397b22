/* config_path: which configuration the subcommands read when they are not told. */
#ifndef SALLYPORT_APP_CONFIG_PATH_H
#define SALLYPORT_APP_CONFIG_PATH_H

/* "conf/sallyport.yaml" below the working directory, or, where there is none, "/etc/sallyport/sallyport.yaml". When
 * neither is there it says so on stderr. Static. */
const char *default_config_path(void);

#endif
