package stream

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"
)

// Those who ask again as soon as they were refused get their answers late, whatever they did wrong.
func TestRefusalsKeepToAPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &Node{refusals: rate.NewLimiter(10, 10)}
		const crowd = 50
		answered := make(chan int)
		stop := time.Now().Add(time.Minute)
		for range crowd {
			go func() {
				count := 0
				for ; time.Now().Before(stop); count++ {
					w := httptest.NewRecorder()
					if n.refuse(w, httptest.NewRequest(http.MethodGet, "/v1/stream", nil), tooMany("no", 5)); w.Code != http.StatusTooManyRequests {
						t.Errorf("status %d", w.Code)
					}
				}
				answered <- count
			}()
		}
		sum := 0
		for range crowd {
			sum += <-answered
		}
		// Ten at once and ten a second, and each of the crowd every two seconds.
		if most := 10 + 60*10 + crowd*(30+1); sum > most || sum < crowd*30 {
			t.Errorf("%d were refused in a minute, want %d to %d", sum, crowd*30, most)
		}
	})
}
