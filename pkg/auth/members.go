package auth

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// claims are what is read of a token. Names count as they are written, and each once:
// encoding/json alone would take "EXP" for exp, and the last of two.
type claims struct {
	jwt.RegisteredClaims
	tickcast json.RawMessage
}

// UnmarshalJSON reads the claims set.
func (c *claims) UnmarshalJSON(text []byte) error {
	all, err := members(text)
	if err != nil {
		return err
	}
	c.tickcast = all["tickcast"]
	for name, into := range map[string]any{"iss": &c.Issuer, "sub": &c.Subject, "jti": &c.ID, "aud": &c.Audience} {
		if err := decode(all[name], into); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	for name, into := range map[string]**jwt.NumericDate{"exp": &c.ExpiresAt, "nbf": &c.NotBefore} {
		if *into, err = parseDate(all[name]); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// decode leaves into as it is where there is no value. A null is none of the types asked for.
func decode(value json.RawMessage, into any) error {
	switch {
	case value == nil:
		return nil
	case isNull(value):
		return errors.New("is null")
	}
	return json.Unmarshal(value, into)
}

// dateMax is some thirty million years: what is beyond is no number of seconds.
const dateMax = 1e15

// parseDate reads seconds since 1970, down to whole ones. A number in quotes is none.
func parseDate(value json.RawMessage) (*jwt.NumericDate, error) {
	if value == nil {
		return nil, nil
	}
	var s float64
	if err := decode(value, &s); err != nil || math.Abs(s) > dateMax {
		return nil, errors.New("is no time in seconds")
	}
	return &jwt.NumericDate{Time: time.Unix(int64(math.Floor(s)), 0)}, nil
}

// members returns the values of an object by name. One that names something twice is refused:
// its readers could not agree on what it says.
func members(text []byte) (map[string]json.RawMessage, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return nil, errors.New("no object")
	}
	all := make(map[string]json.RawMessage)
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, err
		}
		key := name.(string)
		if _, again := all[key]; again {
			return nil, fmt.Errorf("%.32q stands there twice", key)
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, err
		}
		all[key] = value
	}
	_, err := dec.Token()
	return all, err
}
