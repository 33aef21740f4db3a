package wire

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
)

// Logger returns a logger whose lines go to the host, as text without time and level, which the host adds.
func Logger(h Host) *slog.Logger { return slog.New(newLogHandler(h)) }

type logHandler struct {
	slog.Handler // writes into line.buf
	host         Host
	line         *line
}

type line struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func newLogHandler(h Host) *logHandler {
	l := &line{}
	text := slog.NewTextHandler(&l.buf, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: withoutTimeAndLevel})
	return &logHandler{Handler: text, host: h, line: l}
}

func withoutTimeAndLevel(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey) {
		return slog.Attr{}
	}
	return a
}

func (l *logHandler) Handle(ctx context.Context, r slog.Record) error {
	l.line.mu.Lock()
	defer l.line.mu.Unlock()
	l.line.buf.Reset()
	err := l.Handler.Handle(ctx, r)
	l.host.log(r.Level, string(bytes.TrimSuffix(l.line.buf.Bytes(), []byte("\n"))))
	return err
}

func (l *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &logHandler{Handler: l.Handler.WithAttrs(attrs), host: l.host, line: l.line}
}

func (l *logHandler) WithGroup(name string) slog.Handler {
	return &logHandler{Handler: l.Handler.WithGroup(name), host: l.host, line: l.line}
}
