package gateway

import (
	"io"
	"log/slog"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
)

func newLog(l *configv1.Log, to io.Writer) *slog.Logger {
	levels := map[configv1.Log_Level]slog.Level{
		configv1.Log_LEVEL_DEBUG: slog.LevelDebug, configv1.Log_LEVEL_WARN: slog.LevelWarn, configv1.Log_LEVEL_ERROR: slog.LevelError,
	}
	options := &slog.HandlerOptions{Level: levels[l.GetLevel()]} // else the zero level, info
	if l.GetFormat() == configv1.Log_FORMAT_JSON {
		return slog.New(slog.NewJSONHandler(to, options))
	}
	return slog.New(slog.NewTextHandler(to, options))
}
