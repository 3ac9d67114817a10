// Asks for a trace while the modules that will show it are still loading. A classic script, since these run first.
(() => {
  const trace = /^\/traces\/([^/]+)\/?$/.exec(location.pathname);
  if (!trace) return;
  const path = `/api/traces/${trace[1]}`;
  const answer = fetch(path);
  answer.catch(() => {}); // whoever takes it over is told
  window.prelaEarly = { path, answer };
})();
