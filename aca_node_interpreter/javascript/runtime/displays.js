// The kernel's `$$` as a run sees it: pictures, pages and other rich results.

function displayApi(run) {
  const api = { __proto__: null, config: {} };
  const end = (value, keep) => {
    if (keep) return show({ "text/plain": inspect(value) });
    run.answer ??= { __proto__: null, value };
    run.mayStayPending = true;
    setImmediate(complete, run);
  };
  const settling = (action) => (value, keep) => {
    if (!types.isPromise(value)) return action(value, keep);
    whenSettled(value, (settled) => action(settled, keep), (error) => uncaught(error));
    return undefined;
  };
  const show = (bundle, place) => {
    const mime = { __proto__: null };
    addAll(mime, bundle);
    if (run.displays.length < 1000) run.displays[place ?? run.displays.length] = { __proto__: null, mime };
  };
  const methods = (target, place) => {
    target.mime = settling((bundle) => show(bundle, place()));
    for (let i = 0; i < MEDIA.length; i++) {
      target[MEDIA[i][0]] = settling((content) => show({ [MEDIA[i][2]]: content }, place()));
    }
    return target;
  };
  const named = { __proto__: null };
  api.async = (value = true) => !!value;
  api.done = end;
  api.sendResult = settling(end);
  api.sendError = settling((error) => fail(run, error));
  methods(api, () => undefined);
  api.display = (id) => {
    const place = () => (id === undefined ? undefined : (named[id] ??= run.displays.length));
    return methods({ close() {} }, place);
  };
  api.clear = () => {
    run.displays.length = 0;
  };
  api.input = () => Promise.reject(new Error("Nobody can answer: there is no input here."));
  return api;
}
