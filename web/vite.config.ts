import { defineConfig } from "vite";

export default defineConfig({
  build: {
    target: "es2022",
    // The node's Content-Security-Policy allows neither data: URLs nor inline scripts.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: {
    // `npm run dev` shows the page with reloading, over a node that runs beside it.
    proxy: {
      "/v1": { target: "http://127.0.0.1:8080", ws: true, changeOrigin: true, rewriteWsOrigin: true },
    },
  },
});
