export default {
  trailingSlash: true,
  // Development happens behind `serve --dev --app`, at this host.
  allowedDevOrigins: ["localhost"],
};
