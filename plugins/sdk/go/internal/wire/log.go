package wire

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// Logger returns a logger whose lines go to the host: the message and its attributes, without time and level, which the host
// adds.
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
	return &logHandler{Handler: slog.NewTextHandler(&l.buf, &slog.HandlerOptions{Level: slog.LevelDebug}), host: h, line: l}
}

func (l *logHandler) Handle(ctx context.Context, r slog.Record) error {
	bare := slog.NewRecord(time.Time{}, r.Level, "", 0)
	r.Attrs(func(a slog.Attr) bool { bare.AddAttrs(a); return true })
	l.line.mu.Lock()
	defer l.line.mu.Unlock()
	l.line.buf.Reset()
	err := l.Handler.Handle(ctx, bare)
	_, attributes, _ := strings.Cut(l.line.buf.String(), ` msg=""`)
	l.host.log(r.Level, r.Message+strings.TrimSuffix(attributes, "\n"))
	return err
}

func (l *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &logHandler{Handler: l.Handler.WithAttrs(attrs), host: l.host, line: l.line}
}

func (l *logHandler) WithGroup(name string) slog.Handler {
	return &logHandler{Handler: l.Handler.WithGroup(name), host: l.host, line: l.line}
}
