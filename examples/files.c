/* files: serves a directory, as `files public http://127.0.0.1:8080`. Names that begin with a dot, and what lies outside it, stay unseen. */
#include <stdio.h>
#include <weft.h>

int main(int argc, char **argv)
{
    weft *app = weft_new(NULL);
    weft_files(app, "/", argc > 1 ? argv[1] : "public", NULL);
    weft_listen(app, argc > 2 ? argv[2] : "http://127.0.0.1:8080", NULL);
    if (!weft_error(app))
        printf("listening on %s\n", weft_listening(app, 0));
    fflush(stdout);

    int error = weft_run_until_signal(app);
    if (error)
        fprintf(stderr, "files: %s\n", weft_error(app));
    weft_free(app);
    return error ? 1 : 0;
}
