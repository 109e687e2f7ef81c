/* A program that carries the library inside it. */
#include <stdio.h>
#include <vaccel.h>

int main(void)
{
    static struct vaccel_session session;
    static unsigned char out[64];

    if (vaccel_session_init(&session, 0)) {
        printf("%s\n", vaccel_error_message());
        return 1;
    }
    int code = vaccel_noop(&session);
    printf("%d %s\n", code, vaccel_error_message());
    code = vaccel_image_segmentation(&session, "jpeg", out, 4, sizeof(out));
    printf("%d%s\n", code, out);
    return vaccel_session_release(&session);
}
