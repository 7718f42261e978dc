package auth

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"
)

// Run follows the files and the key set until ctx ends. denied is called when the deny list
// has changed: grants that were given before may be on it now. What cannot be read is logged
// and leaves everything as it was.
func (v *Verifier) Run(ctx context.Context, denied func()) {
	tick := time.NewTicker(filesEvery)
	defer tick.Stop()
	trouble := make(map[string]string) // by what, so that each is logged once
	note := func(what string, err error) {
		text := ""
		if err != nil {
			text = err.Error()
		}
		if text != trouble[what] && err != nil {
			v.log.Error(what+" not read again: the one before stays in force", zap.Error(err))
		}
		trouble[what] = text
	}
	var fetchAt time.Time
	for {
		if v.keyFile != nil {
			note("key file", v.rereadKeys())
		}
		if v.denyFile != nil {
			changed, err := v.rereadDenyList()
			note("deny list", err)
			if changed {
				denied()
			}
		}
		if now := time.Now(); v.keySet != nil && !now.Before(fetchAt) {
			fetchAt = now.Add(keySetEvery)
			if err := v.fetchKeys(ctx); err != nil && ctx.Err() == nil {
				fetchAt = now.Add(keySetRetry)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (v *Verifier) rereadKeys() error {
	text, changed, err := v.keyFile.changed()
	if err != nil || !changed {
		return err
	}
	keys, err := parseKeyFile(text)
	if err != nil {
		return fmt.Errorf("%s: %w", v.keyFile.name, err)
	}
	if secret, ok := keys[0].public.([]byte); ok && len(secret) < secretBytesAdvised && v.keys.Load() == nil {
		v.log.Warn("the HMAC secret is short enough to be guessed", zap.Int("bytes", len(secret)), zap.Int("advised", secretBytesAdvised))
	}
	v.keys.Store(&keys)
	return nil
}

func (v *Verifier) rereadDenyList() (changed bool, err error) {
	text, changed, err := v.denyFile.changed()
	if err != nil || !changed {
		return false, err
	}
	list, err := parseDenyList(text)
	if err != nil {
		return false, fmt.Errorf("%s: %w", v.denyFile.name, err)
	}
	v.deny.Store(&list)
	return true, nil
}

// fetchKeys takes the key set's place by a fresh one. Who comes while one is fetched waits for
// it, and then fetches no other.
func (v *Verifier) fetchKeys(ctx context.Context) error {
	before := v.keys.Load()
	v.fetching.Lock()
	defer v.fetching.Unlock()
	if v.keys.Load() != before {
		return nil
	}
	text, err := v.keySet.fetch(ctx)
	var keys []key
	var passed []error
	if err == nil {
		keys, passed, err = parseKeySet(text)
	}
	if err != nil {
		if ctx.Err() == nil {
			v.log.Warn("key set not fetched", zap.Error(err))
		}
		return err
	}
	for _, why := range passed {
		v.log.Info("key of the key set passed over", zap.Error(why))
	}
	v.keys.Store(&keys)
	return nil
}
