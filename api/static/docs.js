// Draws the API's own OpenAPI document; asks nobody else for anything.
"use strict";
SwaggerUIBundle({ url: "/openapi.json", dom_id: "#docs", deepLinking: true, validatorUrl: null });
