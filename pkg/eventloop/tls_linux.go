package eventloop

// seal returns frames as records, in the loop's own buffer: however many records they are,
// they go out in one write.
func (c *Conn) seal(frames []byte) ([]byte, error) {
	l := c.loop
	c.tls.out = l.sealed[:0]
	_, err := c.tls.tls.Write(frames)
	l.sealed = c.tls.take()
	return l.sealed, err
}

// sealEnd sends the alert that ends a TLS stream properly, if there is room: it is the last
// thing that is sent.
func (c *Conn) sealEnd() {
	_ = c.tls.tls.CloseWrite()
	_, _ = c.put(c.tls.take())
}
