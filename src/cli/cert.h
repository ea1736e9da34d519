/**
 * weft cert: a certificate for development, in files.
 */
#ifndef WEFT_CLI_CERT_H
#define WEFT_CLI_CERT_H

int run_cert(char **argv);

#endif
