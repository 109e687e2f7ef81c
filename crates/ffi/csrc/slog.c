/* slog_print() is variadic, which stable Rust cannot define. This formats the
 * line and hands it to Rust, which sets `sink` when the library is loaded. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct vaccel_slog_sink {
	int (*enabled)(unsigned int flag);
	void (*write)(unsigned int flag, uint8_t newline, const char *text,
		      size_t length);
};

static struct vaccel_slog_sink sink;

void vaccel_slog_set_sink(struct vaccel_slog_sink new_sink)
{
	sink = new_sink;
}

void vaccel_slog_print(unsigned int flag, uint8_t newline, const char *format,
		       ...)
{
	char line[512];
	char *text = line;
	va_list args;

	if (!sink.enabled || !sink.enabled(flag) || !format)
		return;

	va_start(args, format);
	int length = vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	if (length < 0)
		return;

	if ((size_t)length >= sizeof(line)) {
		text = malloc((size_t)length + 1);
		if (text) {
			va_start(args, format);
			vsnprintf(text, (size_t)length + 1, format, args);
			va_end(args);
		} else { /* the beginning is better than nothing */
			text = line;
			length = sizeof(line) - 1;
		}
	}
	sink.write(flag, newline, text, (size_t)length);
	if (text != line)
		free(text);
}
