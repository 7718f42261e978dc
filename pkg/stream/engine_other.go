//go:build !linux

package stream

// Engines lists what Config.Engine may be on this system, the best first.
func Engines() []string { return []string{EngineGoroutine} }

func newEngine(cfg *Config, shards []*shard) (engine, error) { return newGWSEngine(cfg, shards), nil }
